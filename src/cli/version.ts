import { BUILD_INFO } from '../base/build-info.ts'
import type { CommandContext } from './command.ts'

/** The keys are TiCDC's; its `Go Version` carries the runtime's. */
export async function run(context: CommandContext): Promise<number> {
  context.print(`Release Version: ${BUILD_INFO.releaseVersion}`)
  context.print(`Git Commit Hash: ${BUILD_INFO.gitHash}`)
  context.print(`Git Branch: ${BUILD_INFO.gitBranch}`)
  context.print(`UTC Build Time: ${BUILD_INFO.buildTime}`)
  context.print(`Go Version: node${process.version}`)
  context.print('Failpoint Build: false')
  return 0
}
