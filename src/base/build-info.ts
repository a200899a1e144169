/** Tidewire's own version: that of package.json. */
export const PRODUCT_VERSION = '0.1.0'

/**
 * What this build calls itself towards TiCDC's tools. `releaseVersion` is the TiCDC whose interface it has: TiUP, the
 * command line and other captures compare it. `gitHash` begins with `tidewire-`, by which captures know their own kind.
 */
export const BUILD_INFO = {
  releaseVersion: 'v8.5.0',
  gitHash: `tidewire-${PRODUCT_VERSION}`,
  gitBranch: 'HEAD',
  buildTime: '1970-01-01 00:00:00',
} as const
