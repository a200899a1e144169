/** A LIKE pattern as a regular expression over the whole text. */
export function likePattern(pattern: string, escape: string, ignoreCase: boolean): RegExp {
  let source = ''
  const characters = Array.from(pattern)
  for (let i = 0; i < characters.length; i++) {
    const char = characters[i] ?? ''
    if (char === escape && escape !== '' && i + 1 < characters.length) source += quote(characters[++i] ?? '')
    else if (char === '%') source += '.*'
    else if (char === '_') source += '.'
    else source += quote(char)
  }
  return new RegExp(`^${source}$`, ignoreCase ? 'sui' : 'su')
}

const quote = (char: string): string => char.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
