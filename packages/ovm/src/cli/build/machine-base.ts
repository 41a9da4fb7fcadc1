import { writeFurther } from "../../artifact/machine/further.ts"
import { readArtifact } from "../../artifact/machine/read.ts"
import type { Call } from "../../content/interfaces.ts"
import { paths } from "../../host/paths.ts"
import { takeIn } from "../../images/take-in.ts"

/**
 * Has `name` stand for the machine of `image` once more, as an image of its own: what is a snapshot of that one is none
 * of `image` (OVMS-BLD-056).
 */
export async function standIn(image: string, name: string, call: Call): Promise<void> {
  await takeIn(paths(), { durable: false }, async (store) => {
    const found = await readArtifact(store, await store.resolve(image, call), call)
    const created = found.manifest.metadata?.created ?? new Date().toISOString()
    // It says whose it is, and is another manifest by that.
    const { descriptor } = await writeFurther(store, found, { added: [], created }, call)
    await store.tag(descriptor, name, call)
  })
}
