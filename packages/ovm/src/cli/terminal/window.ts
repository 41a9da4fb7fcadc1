import type { WindowSize } from "../../runtime/interfaces.ts"

/** Of this terminal; zeros where it is none. */
export function sizeNow(): WindowSize {
  const { rows = 0, columns = 0 } = process.stdout
  return { rows, columns }
}

/** Each time that it changes, until what is returned is disposed of. What `tell` throws is passed over. */
export function onResize(tell: () => Promise<void>): Disposable {
  const listener = () => void tell().catch(() => {})
  process.stdout.on("resize", listener)
  return { [Symbol.dispose]: () => void process.stdout.off("resize", listener) }
}
