import type { Descriptor } from "../../content/descriptor.ts"
import type { Fetcher } from "../../content/interfaces.ts"
import { invalid } from "../../disk/file.ts"
import { fillBounded } from "../fill.ts"
import { finish, fromFile } from "../take.ts"
import type { TakenMachine } from "../taken.ts"
import { MOST_BYTES } from "../to-qcow2.ts"
import { type TakeCall, Work } from "../work.ts"
import type { Workplace } from "../workplace.ts"
import { takeKubevirt } from "./kubevirt.ts"
import type { OciSource } from "./source.ts"

/**
 * Takes in what ociSource found in `source`, called `named`. Throws as takeFile does, OVM_DIGEST_MISMATCH and
 * OVM_SIZE_MISMATCH for content that is not what its name says, and what `source` throws.
 */
export async function takeOci(
  found: Exclude<OciSource, { kind: "container" | "machine" }>,
  { source, named }: { readonly source: Fetcher; readonly named: string },
  place: Workplace,
  call: TakeCall = {},
): Promise<TakenMachine> {
  const work = new Work(place, call)
  const fetched = (layer: Descriptor, label: string) => fetchTo(source, layer, { label, work })
  return await work.labelled(async () => {
    if (found.kind === "kubevirt")
      return finish(await takeKubevirt(found, { source, named, fetched, work }), named)
    return finish(await fromFile(await fetched(found.layer, named), named, work), named)
  })
}

/** The layer in a file. */
async function fetchTo(
  source: Fetcher,
  layer: Descriptor,
  { label, work }: { readonly label: string; readonly work: Work },
): Promise<string> {
  const tooMuch = () => invalid(label, `has a layer of more than ${MOST_BYTES} bytes`)
  if (layer.size > MOST_BYTES) throw tooMuch()
  const path = work.file(label)
  await fillBounded(await source.fetch(layer, work.call), { path, most: MOST_BYTES }, tooMuch)
  return path
}
