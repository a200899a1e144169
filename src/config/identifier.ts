const PATTERN = /^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/

/** True for what may name a changefeed, namespace or cluster (reference: interface, section 0.5). */
export const isIdentifier = (text: string): boolean => text.length <= 128 && PATTERN.test(text)
