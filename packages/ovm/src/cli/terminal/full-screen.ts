import { print } from "../output.ts"
import { rawKeys } from "./raw.ts"

/** Another screen than the one with what was there before, without a cursor; and back. */
const ENTER = "\x1b[?1049h\x1b[?25l"
const LEAVE = "\x1b[?1049l\x1b[?25h"
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** The whole terminal. */
export interface FullScreen extends Disposable {
  /** In place of what it showed; each line is shorter than the terminal is wide. */
  show(text: string): void
}

/**
 * Has the whole terminal and its keys until it is disposed of: then all is as it was. `left` is aborted when the
 * terminal goes away, or somebody ends this process.
 */
export function fullScreen(onKey: (key: string) => void, left: AbortController): FullScreen {
  const leave = () => left.abort()
  let shown = ""
  const show = (text: string) => {
    shown = text
    // Line by line over what is there, so that nothing flickers.
    print(`\x1b[H${text.replaceAll("\n", "\x1b[K\n")}\x1b[J`)
  }
  const again = () => show(shown)
  for (const signal of SIGNALS) process.on(signal, leave)
  process.stdout.on("resize", again)
  print(ENTER)
  const keys = rawKeys((bytes) => {
    for (const key of Buffer.from(bytes).toString("latin1")) onKey(key)
  }, leave)
  return {
    show,
    [Symbol.dispose]: () => {
      for (const signal of SIGNALS) process.off(signal, leave)
      process.stdout.off("resize", again)
      keys[Symbol.dispose]()
      print(LEAVE)
    },
  }
}
