import { constants } from "node:os"
import { dropTyped } from "../../host/libc.ts"

/**
 * What a guest may have left a terminal with: colours, another screen, no cursor, mouse and pastes reported, keys that
 * say something else, other characters, lines that are not wrapped, are inserted into, or of which some alone scroll.
 * Nothing of it moves the cursor, which is kept over the one that would, or rings.
 */
const USUAL =
  "\x1b[0m\x1b[?1047l\x1b[?25h\x1b[?1l\x1b>\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l" +
  "\x1b7\x1b[r\x1b8\x1b[?7h\x1b[4l\x1b(B\x0f"

/**
 * Gives every key of the terminal on standard input to `onKeys`, as it is pressed, until it is disposed of, or this
 * process ends in any way but SIGKILL: then the terminal is as it was, and what was typed and not read by then is
 * dropped, so that no shell takes it for a command. `onEnd` is told if the terminal goes away.
 */
export function rawKeys(onKeys: (bytes: Uint8Array) => void, onEnd: () => void): Disposable {
  const { stdin, stdout } = process
  let over = false
  const restore = () => {
    if (over) return
    over = true
    stdin.off("data", onKeys).off("end", onEnd).off("error", onEnd)
    stdin.pause()
    try {
      stdin.setRawMode(false)
      dropTyped(0)
    } catch {
      // It has gone.
    }
    if (stdout.isTTY) stdout.write(USUAL)
    process.off("exit", restore).off("SIGQUIT", quit)
  }
  process.on("exit", restore).on("SIGQUIT", quit)
  stdin.setRawMode(true)
  stdin.on("data", onKeys).on("end", onEnd).on("error", onEnd)
  stdin.resume()
  return { [Symbol.dispose]: restore }
}

/** As that would end this process, but by its own end. */
function quit(): void {
  process.exit(128 + constants.signals.SIGQUIT)
}
