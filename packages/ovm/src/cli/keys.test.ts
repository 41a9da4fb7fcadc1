import { expect, test } from "bun:test"
import { Keys } from "./keys.ts"

/** What becomes of `pieces`, pressed one after the other; a number is a pause in ms. */
async function pressed(...pieces: (string | number)[]) {
  let sent = ""
  const events: string[] = []
  const keys = new Keys({
    send: (bytes) => {
      sent += Buffer.from(bytes).toString("latin1")
    },
    detach: () => events.push("detach"),
    stop: () => events.push("stop"),
  })
  for (const piece of pieces)
    if (typeof piece === "number") await Bun.sleep(piece)
    else keys.press(Buffer.from(piece, "latin1"))
  return { sent, events }
}

test.each<[string, (string | number)[], string, string[]]>([
  ["all bytes go to the guest", ["abc\r", "\0\x1b[A\xff\x11"], "abc\r\0\x1b[A\xff\x11", []],
  ["Ctrl-P Ctrl-Q detaches", ["ab\x10", "\x11"], "ab", ["detach"]],
  ["in one piece too, and what follows is nobody's", ["ab\x10\x11rm -rf /\r"], "ab", ["detach"]],
  ["Ctrl-P and another key go to the guest", ["\x10", "a", "\x10\x10", "b"], "\x10a\x10\x10b", []],
  ["the second Ctrl-P begins anew", ["\x10\x10\x11"], "\x10", ["detach"]],
  ["Ctrl-P alone does after a moment", ["\x10", 1200], "\x10", []],
  ["and then Ctrl-Q is a key like others", ["\x10", 1200, "\x11"], "\x10\x11", []],
  ["Ctrl-C goes to the guest", ["\x03", 1200, "\x03"], "\x03\x03", []],
  ["Ctrl-C twice stops", ["\x03", 100, "\x03"], "\x03\x03", ["stop"]],
  ["and once more is heard however late", ["\x03\x03", 1200, "\x03"], "\x03\x03\x03", ["stop", "stop"]],
])("%s", async (_, pieces, sent, events) => {
  expect(await pressed(...pieces)).toEqual({ sent, events })
})
