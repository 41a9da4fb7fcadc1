/** A word for sh that nothing in it can make anything else; as it is where it has nothing that sh reads. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
