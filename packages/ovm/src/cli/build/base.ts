import { readArtifact } from "../../artifact/machine/read.ts"
import { machineBehind } from "../../artifact/platforms/read.ts"
import { isSnapshot } from "../../artifact/snapshot/read.ts"
import { settingsAnnotated } from "../../build/annotation.ts"
import { Wrong } from "../../build/faults.ts"
import { SCRATCH } from "../../build/instructions.ts"
import type { Base } from "../../build/planned.ts"
import { NOTHING } from "../../convert/container/nothing.ts"
import { parseReference } from "../../registry/reference.ts"
import { admitContainer } from "../import/container-policy.ts"
import { type FoundContainer, type FoundSource, findSource } from "../import/find.ts"
import { openHere } from "../place/open.ts"
import { pullByPolicy } from "../pull-policy.ts"
import { openStoreToRead } from "../store.ts"
import { beginsMain } from "./beginning.ts"
import { type ContainerCall, containerBase } from "./container-base.ts"

export interface BaseCall extends ContainerCall {
  readonly plainHttp?: boolean
  /** What names stand for in place of what they say: `docker-image://NAME`, `oci-layout://PATH` or a path. */
  readonly contexts?: ReadonlyMap<string, string>
}

/**
 * What a stage begins with: a machine of this host; else what the registry has, a machine, which is pulled, or a
 * container image. Throws Wrong for what is neither, and what pulling and reading it can throw.
 */
export async function baseCalled(text: string, call: BaseCall): Promise<Base> {
  const given = call.contexts?.get(text)
  if (text === SCRATCH && given === undefined) return await containerBase({ image: NOTHING }, text, call)
  const [, name] = /^docker-image:\/\/(.*)$/s.exec(given ?? `docker-image://${text}`) ?? []
  if (name !== undefined) return await named(name, call)
  const path = given?.replace(/^oci-layout:\/\//, "oci:") ?? ""
  const container = containerIn(await findSource(path, call), { text, place: given ?? "" }, call)
  if (container) return container
  throw new Wrong(`${given} is a machine: ovm load it, and begin with its name`)
}

async function named(text: string, call: BaseCall): Promise<Base> {
  const reference = parseReference(text)
  await using here = await openHere(`${reference}`, {})
  if (!here) {
    if (reference.host === undefined)
      throw new Wrong(
        `there is no image ${reference} on this host, and the name says no registry to look in: ${elsewhere(text)}`,
      )
    const container = containerIn(
      await findSource(`docker://${reference}`, call),
      { text, place: text },
      call,
    )
    if (container) return container
  }
  await pullByPolicy(`${reference}`, "missing", call)
  return await machine(text, call)
}

async function admitted(
  found: FoundContainer,
  { text, place }: { readonly text: string; readonly place: string },
  call: BaseCall,
): Promise<Base> {
  await admitContainer(found, place, call)
  return await containerBase(found, text, call)
}

/** No registry is looked in that nobody has named; who reads a Dockerfile of Docker's may want its. */
function elsewhere(text: string): string {
  const name = text.includes("/") ? text : `library/${text}`
  return `write docker.io/${name} for Docker's, or say what it is by --build-context ${text}=oci-layout://PATH`
}

/** Undefined for a machine. */
function containerIn(
  found: FoundSource | undefined,
  { text, place }: { readonly text: string; readonly place: string },
  call: BaseCall,
): Promise<Base> | undefined {
  if (found) call.opened.use(found)
  if (found?.container) return admitted(found.container, { text, place }, call)
  if (found?.machine !== undefined) return undefined
  const what = found ? "is a disk: ovm import it, and begin with the image" : "is no container image"
  throw new Wrong(`${place} ${what}`)
}

async function machine(text: string, call: BaseCall): Promise<Base> {
  const reference = parseReference(text)
  await using store = await openStoreToRead()
  // Of an index of machines that for this host.
  const { target } = await machineBehind(store, await store.resolve(`${reference}`), { signal: call.signal })
  if (await isSnapshot(store, target, call))
    throw new Wrong(`${text} is a snapshot: commit it, and begin with the image`)
  const { descriptor, manifest, layers, oci } = await readArtifact(store, target, call)
  if (layers.length === 0) throw new Wrong(`${text} has no disk that steps could write to`)
  return {
    reference: `${reference.name}@${descriptor.digest}`,
    digest: descriptor.digest,
    settings: settingsAnnotated(oci.annotations),
    begins: beginsMain(manifest),
  }
}
