/** A word for sh that nothing in it can make anything else. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
