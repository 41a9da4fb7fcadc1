import { posix } from "node:path"
import { tarMember } from "../../content/archive/member.ts"
import { padding, TAR_END } from "../../content/archive/tar.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { MAIN } from "../../convert/container/own.ts"
import type { Builder } from "./builder.ts"

/** Writes what a machine begins with; `latest` is its time, in seconds since 1970. */
export async function writeMain(
  builder: Builder,
  texts: Uint8Array,
  { latest = Math.floor(Date.now() / 1000), ...call }: Call & { readonly latest?: number },
): Promise<void> {
  const { dir, base } = posix.parse(MAIN)
  await builder.put(dir, mainTar(base, texts, latest), call)
}

async function* mainTar(name: string, texts: Uint8Array, time: number): Bytes {
  yield tarMember(name, texts.length, { mode: 0o644, time })
  yield texts
  yield new Uint8Array(padding(texts.length))
  yield TAR_END
}
