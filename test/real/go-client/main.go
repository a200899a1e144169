// Writes transactions of all kinds through TiKV's Go client, reads them back, and ends with exit code 1 at the first
// answer that is not what a TiKV cluster gives. Usage: go-client PD_ADDRESS
package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/pingcap/log"
	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/kv"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/txnkv/transaction"
	"go.uber.org/zap"
)

var ctx, cancel = context.WithTimeout(context.Background(), 50*time.Second)

func main() {
	defer cancel()
	log.ReplaceGlobals(zap.NewNop(), &log.ZapProperties{})
	client, err := txnkv.NewClient([]string{os.Args[1]})
	must("connect", err)
	defer client.Close()

	steps := []struct {
		name string
		run  func(*txnkv.Client)
	}{
		{"two-phase commit", twoPhase(func(txn *transaction.KVTxn) {})},
		{"async commit", twoPhase(func(txn *transaction.KVTxn) { txn.SetEnableAsyncCommit(true) })},
		{"one-phase commit", twoPhase(func(txn *transaction.KVTxn) { txn.SetEnable1PC(true) })},
		{"pessimistic commit", twoPhase(func(txn *transaction.KVTxn) { txn.SetPessimistic(true) })},
		{"snapshots", snapshots},
		{"scans", scans},
		{"write conflict", conflict},
		{"rollback", rollback},
		{"split", split},
		{"transactions over many regions", manyRegions},
		{"pessimistic locks wait", pessimisticWait},
		{"locks of dead transactions", deadLock},
		{"concurrent counters", counters},
		{"bank", bank},
		{"large transaction", large},
	}
	for _, step := range steps {
		began := time.Now()
		step.run(client)
		fmt.Printf("ok %s (%d ms)\n", step.name, time.Since(began).Milliseconds())
	}
}

func key(text string) []byte { return []byte("t_go_" + text) }

func begin(client *txnkv.Client) *transaction.KVTxn {
	txn, err := client.Begin()
	must("begin", err)
	return txn
}

func read(client *txnkv.Client, k []byte) []byte {
	value, err := begin(client).Get(ctx, k)
	if tikverr.IsErrNotFound(err) {
		return nil
	}
	must("get", err)
	return value
}

func put(client *txnkv.Client, k, value []byte) {
	txn := begin(client)
	must("set", txn.Set(k, value))
	must("commit", txn.Commit(ctx))
}

func twoPhase(mode func(*transaction.KVTxn)) func(*txnkv.Client) {
	return func(client *txnkv.Client) {
		for round := 0; round < 3; round++ {
			txn := begin(client)
			mode(txn)
			for i := 0; i < 5; i++ {
				k := key("row" + strconv.Itoa(i))
				if txn.IsPessimistic() {
					must("lock", txn.LockKeys(ctx, kv.NewLockCtx(txn.StartTS(), 1000, time.Now()), k))
				}
				must("set", txn.Set(k, []byte(fmt.Sprint("v", round, i))))
			}
			must("commit", txn.Commit(ctx))
			expect("value", read(client, key("row3")), []byte(fmt.Sprint("v", round, 3)))
		}
		txn := begin(client)
		mode(txn)
		if txn.IsPessimistic() {
			must("lock", txn.LockKeys(ctx, kv.NewLockCtx(txn.StartTS(), 1000, time.Now()), key("row3")))
		}
		must("delete", txn.Delete(key("row3")))
		must("commit", txn.Commit(ctx))
		expect("deleted", read(client, key("row3")), nil)
	}
}

func snapshots(client *txnkv.Client) {
	put(client, key("snap"), []byte("old"))
	ts, err := client.CurrentTimestamp("global")
	must("ts", err)
	put(client, key("snap"), []byte("new"))
	old, err := client.GetSnapshot(ts).Get(ctx, key("snap"))
	must("snapshot get", err)
	expect("old", old, []byte("old"))
	pairs, err := client.GetSnapshot(ts).BatchGet(ctx, [][]byte{key("snap"), key("nosuch")})
	must("batch get", err)
	if len(pairs) != 1 {
		fail("batch get", len(pairs))
	}
	expect("new", read(client, key("snap")), []byte("new"))
}

func scans(client *txnkv.Client) {
	txn := begin(client)
	for i := 0; i < 700; i++ {
		must("set", txn.Set(key(fmt.Sprintf("scan%04d", i)), []byte{byte(i)}))
	}
	must("commit", txn.Commit(ctx))
	check := func() {
		iter, err := begin(client).Iter(key("scan"), key("scao"))
		must("iter", err)
		count := 0
		for ; iter.Valid(); count++ {
			expect("scanned key", iter.Key(), key(fmt.Sprintf("scan%04d", count)))
			must("next", iter.Next())
		}
		if count != 700 {
			fail("scan", count)
		}
		back, err := begin(client).IterReverse(key("scao"))
		must("reverse", err)
		for i := 699; i >= 0; i-- {
			expect("reverse key", back.Key(), key(fmt.Sprintf("scan%04d", i)))
			must("next", back.Next())
		}
	}
	check()
	_, err := client.SplitRegions(ctx, [][]byte{key("scan0100"), key("scan0500")}, false, nil)
	must("split", err)
	check()
}

func conflict(client *txnkv.Client) {
	a, b := begin(client), begin(client)
	must("set", a.Set(key("conflict"), []byte("a")))
	must("set", b.Set(key("conflict"), []byte("b")))
	must("commit", a.Commit(ctx))
	if err := b.Commit(ctx); !tikverr.IsErrWriteConflict(err) {
		fail("a write conflict", err)
	}
	expect("winner", read(client, key("conflict")), []byte("a"))
}

func rollback(client *txnkv.Client) {
	txn := begin(client)
	txn.SetPessimistic(true)
	must("lock", txn.LockKeys(ctx, kv.NewLockCtx(txn.StartTS(), 1000, time.Now()), key("gone")))
	must("set", txn.Set(key("gone"), []byte("x")))
	must("rollback", txn.Rollback())
	expect("rolled back", read(client, key("gone")), nil)
}

func split(client *txnkv.Client) {
	ids, err := client.SplitRegions(ctx, [][]byte{key("m1"), key("m2"), key("m3")}, true, nil)
	must("split", err)
	if len(ids) != 3 {
		fail("split regions", ids)
	}
	for _, id := range ids {
		must("wait for scatter", client.WaitScatterRegionFinish(ctx, id, 0))
	}
}

func manyRegions(client *txnkv.Client) {
	for _, mode := range []func(*transaction.KVTxn){
		func(txn *transaction.KVTxn) {},
		func(txn *transaction.KVTxn) { txn.SetEnableAsyncCommit(true) },
		func(txn *transaction.KVTxn) { txn.SetPessimistic(true); txn.SetEnableAsyncCommit(true) },
	} {
		txn := begin(client)
		mode(txn)
		for i := 0; i < 40; i++ {
			k := key(fmt.Sprintf("m%d_%d", i%4, i))
			if txn.IsPessimistic() {
				must("lock", txn.LockKeys(ctx, kv.NewLockCtx(txn.StartTS(), 1000, time.Now()), k))
			}
			must("set", txn.Set(k, []byte(strconv.FormatUint(txn.StartTS(), 10))))
		}
		must("commit", txn.Commit(ctx))
		want := []byte(strconv.FormatUint(txn.StartTS(), 10))
		for i := 0; i < 40; i++ {
			expect("row of many regions", read(client, key(fmt.Sprintf("m%d_%d", i%4, i))), want)
		}
	}
}

func pessimisticWait(client *txnkv.Client) {
	put(client, key("wait"), []byte("0"))
	first := begin(client)
	first.SetPessimistic(true)
	must("lock", first.LockKeys(ctx, kv.NewLockCtx(first.StartTS(), 1000, time.Now()), key("wait")))
	done := make(chan error)
	go func() {
		second := begin(client)
		second.SetPessimistic(true)
		for {
			ts, err := client.CurrentTimestamp("global")
			must("ts", err)
			err = second.LockKeys(ctx, kv.NewLockCtx(ts, 5000, time.Now()), key("wait"))
			if tikverr.IsErrWriteConflict(err) {
				continue
			}
			must("second lock", err)
			break
		}
		must("set", second.Set(key("wait"), []byte("2")))
		done <- second.Commit(ctx)
	}()
	time.Sleep(100 * time.Millisecond)
	must("set", first.Set(key("wait"), []byte("1")))
	must("first commit", first.Commit(ctx))
	must("second commit", <-done)
	expect("second", read(client, key("wait")), []byte("2"))
}

// A prewritten transaction whose client stops: a reader rolls it back when its time is over.
func deadLock(client *txnkv.Client) {
	put(client, key("dead"), []byte("alive"))
	txn := begin(client)
	must("set", txn.Set(key("dead"), []byte("dead")))
	must("set", txn.Set(key("dead2"), []byte("dead")))
	probe := transaction.TxnProbe{KVTxn: txn}
	committer, err := probe.NewCommitter(0)
	must("committer", err)
	committer.SetLockTTL(300)
	must("prewrite", committer.PrewriteAllMutations(ctx))
	expect("value before the dead transaction", read(client, key("dead")), []byte("alive"))
	expect("nothing of the dead transaction", read(client, key("dead2")), nil)
}

func counters(client *txnkv.Client) {
	put(client, key("counter"), []byte("0"))
	var group sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for done := 0; done < 10; {
				txn := begin(client)
				value, err := txn.Get(ctx, key("counter"))
				must("counter", err)
				number, _ := strconv.Atoi(string(value))
				must("set", txn.Set(key("counter"), []byte(strconv.Itoa(number+1))))
				if err := txn.Commit(ctx); err == nil {
					done++
				} else if !tikverr.IsErrWriteConflict(err) {
					must("commit", err)
				}
			}
		}()
	}
	group.Wait()
	expect("counter", read(client, key("counter")), []byte("80"))
}

// Money moves between accounts in several regions by all commit protocols; every snapshot sees the same sum.
func bank(client *txnkv.Client) {
	account := func(i int) []byte { return key(fmt.Sprintf("m%d_account%d", i%4, i)) }
	txn := begin(client)
	for i := 0; i < 8; i++ {
		must("set", txn.Set(account(i), []byte("100")))
	}
	must("commit", txn.Commit(ctx))
	var group sync.WaitGroup
	for worker := 0; worker < 6; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			random := rand.New(rand.NewSource(int64(worker)))
			for done := 0; done < 20; done++ {
				txn := begin(client)
				txn.SetEnableAsyncCommit(worker%3 != 0)
				txn.SetEnable1PC(worker%3 == 2)
				from, to := random.Intn(8), random.Intn(8)
				if from == to {
					continue
				}
				a, err := txn.Get(ctx, account(from))
				must("get", err)
				b, err := txn.Get(ctx, account(to))
				must("get", err)
				x, _ := strconv.Atoi(string(a))
				y, _ := strconv.Atoi(string(b))
				must("set", txn.Set(account(from), []byte(strconv.Itoa(x-7))))
				must("set", txn.Set(account(to), []byte(strconv.Itoa(y+7))))
				if err := txn.Commit(ctx); err != nil && !tikverr.IsErrWriteConflict(err) {
					must("commit", err)
				}
			}
		}(worker)
	}
	stop := make(chan struct{})
	checked := make(chan int)
	go func() {
		count := 0
		for {
			txn, sum := begin(client), 0
			for i := 0; i < 8; i++ {
				value, err := txn.Get(ctx, account(i))
				must("get", err)
				number, _ := strconv.Atoi(string(value))
				sum += number
			}
			if sum != 800 {
				fail("sum of accounts", sum)
			}
			count++
			select {
			case <-stop:
				checked <- count
				return
			default:
			}
		}
	}()
	group.Wait()
	close(stop)
	if <-checked == 0 {
		fail("bank", "never checked")
	}
}

func large(client *txnkv.Client) {
	txn := begin(client)
	value := bytes.Repeat([]byte("x"), 1000)
	for i := 0; i < 3000; i++ {
		must("set", txn.Set(key(fmt.Sprintf("m%d_large%04d", i%4, i)), value))
	}
	must("set", txn.Set(key("m2_huge"), bytes.Repeat([]byte("y"), 3<<20)))
	must("commit", txn.Commit(ctx))
	expect("row of a large transaction", read(client, key("m3_large2999")), value)
	if len(read(client, key("m2_huge"))) != 3<<20 {
		fail("huge value", "length")
	}
}

func expect(what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		fail(what, fmt.Sprintf("got %q, want %q", got, want))
	}
}

func must(what string, err error) {
	if err != nil {
		fail(what, err)
	}
}

func fail(what string, detail any) {
	fmt.Println("FAILED", what+":", detail)
	os.Exit(1)
}
