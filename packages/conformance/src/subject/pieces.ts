/** The pieces of an answer whose numbers are all below 128. */
export function piecesOf(text: string): { kind: number; bytes: string }[] {
  const pieces = []
  for (let at = 0; at < text.length; ) {
    const length = Buffer.from(text.slice(at + 1, at + 5), "latin1").readUInt32BE()
    pieces.push({ kind: text.charCodeAt(at), bytes: text.slice(at + 5, at + 5 + length) })
    at += 5 + length
  }
  return pieces
}
