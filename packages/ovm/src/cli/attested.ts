import type { Platform } from "../artifact/platforms/platform.ts"
import { machineBehind } from "../artifact/platforms/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { attach } from "../signing/attach.ts"
import type { Sealer } from "../signing/bundle/write.ts"
import type { Signer } from "../signing/interfaces.ts"
import { openWritable, signedFor } from "./place/subject.ts"
import type { RegistryOptions } from "./registry.ts"

export interface AttestedOptions extends RegistryOptions, Call {
  readonly predicateType: string
  readonly predicate: unknown
  /** The repository, perhaps with a tag, that it is for; the image's own unless told. */
  readonly reference?: string
  /** In Cosign's older form. */
  readonly legacy?: boolean
  /** It is about one machine, of an index too, and not about an index. */
  readonly platform?: Platform | undefined
  /** What the image has to be for the statement to be about it. */
  readonly expected?: Digest
}

export interface Attested {
  readonly name: string
  readonly target: Descriptor
  /** Of the OCI manifest that the attestation is in. */
  readonly manifest: Descriptor
}

/** Says something about `image` over a signature, where that is. Throws as `openWritable` and `attach` do. */
export async function attested(
  image: string,
  by: Signer | Sealer,
  { plainHttp, signal, reference, platform, ...about }: AttestedOptions,
): Promise<Attested> {
  const call = signal ? { signal } : {}
  await using opened = await openWritable(image, { ...call, ...(plainHttp && { plainHttp }) })
  const { target } = await machineBehind(opened.store, opened.target, { platform, ...call })
  const subject = { ...opened, target }
  const said = signedFor(subject, reference)
  const { predicateType, predicate, expected, legacy } = about
  const manifest = await attach(subject, by, {
    ...call,
    predicateType,
    predicate,
    ...(said !== undefined && { reference: said }),
    ...(expected !== undefined && { expected }),
    ...(legacy && { legacy }),
  })
  return { name: subject.name, target: subject.target, manifest }
}
