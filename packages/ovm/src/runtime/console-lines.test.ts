import { expect, test } from "bun:test"
import { consoleLines } from "./console-lines.ts"

const MOST = 64 << 10

/** The texts of what comes in these pieces. */
async function texts(...pieces: readonly string[]): Promise<string[]> {
  let offset = 0
  async function* bytes() {
    for (const piece of pieces) {
      yield Buffer.from(piece)
      offset += piece.length
    }
  }
  const all = await Array.fromAsync(consoleLines({ bytes: bytes(), offset: () => offset }, []))
  return Buffer.concat(all)
    .toString()
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line).text)
}

test.each([
  ["lines, whatever pieces they come in", ["a\nb", "c\r\n\n", "d"], ["a", "bc", "", "d"]],
  ["one of just the most", ["x".repeat(MOST), "\ny\n"], ["x".repeat(MOST), "y"]],
  ["one more is cut", [`${"x".repeat(MOST + 1)}\n`], ["x".repeat(MOST), "x"]],
  [
    "one without an end, in large pieces",
    ["x".repeat(MOST), "y".repeat(MOST), "z"],
    ["x".repeat(MOST), "y".repeat(MOST), "z"],
  ],
])("%s", async (_, pieces, expected) => {
  expect(await texts(...pieces)).toEqual(expected)
})
