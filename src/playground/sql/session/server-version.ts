/** What clients see: MySQL 8.0.11 as TiDB says, TiDB's version, and what this is. */
export const SERVER_VERSION = '8.0.11-TiDB-v8.5.0-tidewire-playground'
