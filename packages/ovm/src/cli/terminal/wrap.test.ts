import { expect, test } from "bun:test"
import { wrapCommand, wrapText } from "./wrap.ts"

test("text is broken at blanks, and keeps its own breaks", () => {
  expect(wrapText("one two three\nfour", 8)).toEqual(["one two", "three", "four"])
  expect(wrapText("a wordthatislonger b", 8)).toEqual(["a", "wordthatislonger", "b"])
})

test("a command that fits stays as it is", () => {
  expect(wrapCommand("ovm images", 10)).toEqual(["ovm images"])
})

test("a longer one is broken as a shell reads it, not between an option and its value, nor in quotes", () => {
  const line = "ovm pack --kernel vmlinuz --args 'console=ttyS0 root=/dev/vda rw' -t app:1"
  const lines = wrapCommand(line, 36)
  expect(lines).toEqual([
    "ovm pack --kernel vmlinuz --args \\",
    "  'console=ttyS0 root=/dev/vda rw' \\",
    "  -t app:1",
  ])
  expect(lines.join("\n").replace(/ \\\n +/g, " ")).toBe(line)
})
