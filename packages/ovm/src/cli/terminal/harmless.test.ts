import { expect, test } from "bun:test"
import { Harmless } from "./harmless.ts"

const shown = (pieces: readonly (string | Uint8Array)[]) => {
  const harmless = new Harmless()
  return pieces.map((piece) => harmless.take(Buffer.from(piece))).join("") + harmless.end()
}

test.each<[string, string, string]>([
  ["plain lines", "one\r\ntwo\n\tthree", "one\ntwo\n\tthree"],
  ["a login prompt", "login: ", "login: "],
  ["colours", "[\x1b[0;32m  OK  \x1b[0m] Started", "[  OK  ] Started"],
  ["the screen", "\x1b[2J\x1b[1;1Hhello", "\\u001b[2J\\u001b[1;1Hhello"],
  ["a title, and what a terminal would answer", "\x1b]0;sh\x07\x1b[c", "\\u001b]0;sh\\u0007\\u001b[c"],
  ["C1 controls", "\u009b2J", "\\u009b2J"],
  ["a line that is written over", "harmful\rharmless", "harmful\\rharmless"],
  ["NUL, backspace, delete", "\0a\b\x7f", "\\u0000a\\b\\u007f"],
  ["text from right to left", "\u202etxt", "\\u202etxt"],
  ["other alphabets", "Grüße, мир, 世界 🙂", "Grüße, мир, 世界 🙂"],
  ["an escape at the very end", "x\x1b", "x\\u001b"],
])("%s", (_, text, expected) => {
  expect(shown([text])).toBe(expected)
  // In pieces of any size it is the same.
  for (const size of [1, 2, 3]) {
    const bytes = Buffer.from(text)
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, at * size + size),
    )
    expect(shown(pieces)).toBe(expected)
  }
})

test("a sequence that never ends does not wait for ever", () => {
  const harmless = new Harmless()
  let seen = ""
  for (let times = 0; times < 1000; times++) seen += harmless.take(Buffer.from("\x1b[0;".repeat(100)))
  expect(seen.length).toBeGreaterThan(900 * 100)
})
