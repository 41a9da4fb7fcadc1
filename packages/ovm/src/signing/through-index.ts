import type { Descriptor } from "../content/descriptor.ts"
import { OvmError } from "../errors.ts"
import type { Verdict } from "./interfaces.ts"
import { type Examined, type VerifiedOptions, verified } from "./verified.ts"

/**
 * `verified` of a machine, where a signature of the index that it was found through is one of it as well
 * (OVMS-IDX-025): its own are looked at first. Attestations have to be its own. Throws as `verified` does, and what is
 * wrong with the machine's own evidence where neither is signed.
 */
export async function verifiedThrough(
  { index, ...subject }: Examined & { readonly index?: Descriptor },
  options: VerifiedOptions,
): Promise<readonly Verdict[]> {
  if (!index || options.predicateType !== undefined) return await verified(subject, options)
  try {
    return await verified(subject, options)
  } catch (own) {
    if (!(own instanceof OvmError) || own.class === "registry" || own.class === "interrupted") throw own
    return await verified({ ...subject, target: index }, options).catch((thrown: unknown) => {
      const unsigned = thrown instanceof OvmError && thrown.code === "OVM_SIGNATURE_MISSING"
      throw unsigned ? own : thrown
    })
  }
}
