import { endOffset, oldestOffset, readConsole } from "./console.ts"

const NEWLINE = 0x0a

/**
 * Where in the whole stream the last `lines` lines begin of what is kept in `directory`, in bytes; a last line without
 * its end is one. The oldest kept byte if there are fewer.
 */
export async function tailOffset(directory: string, lines: number): Promise<number> {
  if (lines === 0) return await endOffset(directory)
  const oldest = await oldestOffset(directory)
  const begins = [oldest]
  let at = oldest
  for await (const bytes of readConsole(directory, { offset: oldest })) {
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, end + 1))
      begins.push(at + end + 1)
    at += bytes.length
    if (begins.length > 2 * lines + 1000) begins.splice(0, begins.length - lines - 1)
  }
  // What begins at the end is no line yet.
  if (begins.at(-1) === at) begins.pop()
  return begins.at(-lines) ?? begins[0] ?? at
}
