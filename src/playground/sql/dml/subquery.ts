import { SqlError } from '../error.ts'
import type { Expression, SelectStatement } from '../parser/ast.ts'
import type { Value } from '../value/value.ts'
import type { QueryResult } from './select.ts'

type Run = (query: SelectStatement) => Promise<QueryResult>

export const resolveAll = (nodes: readonly Expression[], run: Run): Promise<Expression[]> =>
  Promise.all(nodes.map((node) => resolveSubqueries(node, run)))

/**
 * Runs the subqueries of an expression first and puts their results in their places. Subqueries that name columns of the
 * outer query fail with error 1054: they are not supported.
 */
export async function resolveSubqueries(node: Expression, run: Run): Promise<Expression> {
  switch (node.kind) {
    case 'query': {
      const { rows, columns } = await run(node.query)
      if (columns.length !== 1) throw new SqlError(1241, 'Operand should contain 1 column(s)')
      if (rows.length > 1) throw new SqlError(1242, 'Subquery returns more than 1 row')
      return literal(rows[0]?.[0] ?? null)
    }
    case 'exists': {
      const { rows } = await run(node.query)
      return literal(rows.length > 0 ? 1n : 0n)
    }
    case 'inQuery': {
      const { rows, columns } = await run(node.query)
      if (columns.length !== 1) throw new SqlError(1241, 'Operand should contain 1 column(s)')
      const operand = await resolveSubqueries(node.operand, run)
      if (rows.length === 0) return literal(node.negated ? 1n : 0n)
      return { kind: 'in', operand, items: rows.map((row) => literal(row[0] ?? null)), negated: node.negated }
    }
    case 'unary':
    case 'is':
    case 'collate':
    case 'cast':
      return { ...node, operand: await resolveSubqueries(node.operand, run) }
    case 'binary':
      return { ...node, left: await resolveSubqueries(node.left, run), right: await resolveSubqueries(node.right, run) }
    case 'between':
      return {
        ...node,
        operand: await resolveSubqueries(node.operand, run),
        low: await resolveSubqueries(node.low, run),
        high: await resolveSubqueries(node.high, run),
      }
    case 'in':
      return { ...node, operand: await resolveSubqueries(node.operand, run), items: await resolveAll(node.items, run) }
    case 'call':
      return node.args.length === 0 ? node : { ...node, args: await resolveAll(node.args, run) }
    case 'case':
      return {
        ...node,
        operand: node.operand === undefined ? undefined : await resolveSubqueries(node.operand, run),
        branches: await Promise.all(
          node.branches.map(async ({ when, then }) => ({
            when: await resolveSubqueries(when, run),
            then: await resolveSubqueries(then, run),
          })),
        ),
        otherwise: node.otherwise === undefined ? undefined : await resolveSubqueries(node.otherwise, run),
      }
    default:
      return node
  }
}

const literal = (value: Value): Expression => ({ kind: 'literal', value })
