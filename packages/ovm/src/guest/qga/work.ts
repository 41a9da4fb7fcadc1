import type { QgaChannel } from "./channel.ts"
import type { StreamEnd } from "./stream-end.ts"

/** What is asked of a QEMU guest agent in the words of ours (spec/agent.md, "Streams"). */
export interface QgaWork {
  readonly line: QgaChannel
  readonly texts: readonly string[]
  readonly end: StreamEnd
}

/** How it has ended. */
export interface QgaEnd {
  readonly kind: "status" | "signal"
  readonly value: number
}

/** Values of the particulars of that name, in order. */
export function valuesOf(texts: readonly string[], name: string): string[] {
  return texts.flatMap((text) => (text.startsWith(`${name}=`) ? [text.slice(name.length + 1)] : []))
}
