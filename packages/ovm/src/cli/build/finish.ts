import { writeFurther } from "../../artifact/machine/further.ts"
import type { OvmsManifest } from "../../artifact/machine/manifest.ts"
import { type Artifact, readArtifact } from "../../artifact/machine/read.ts"
import { settingsAnnotation } from "../../build/annotation.ts"
import { baseOf, type PlannedStage } from "../../build/planned.ts"
import type { MachineSettings } from "../../build/settings.ts"
import type { Digest } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { paths } from "../../host/paths.ts"
import { takeIn } from "../../images/take-in.ts"
import { parseReference } from "../../registry/reference.ts"

const BASE_NAME = "org.opencontainers.image.base.name"

interface Finished {
  /** What its last step has made. */
  readonly image: string
  readonly name: string
  /** RFC 3339, in place of when that was made. */
  readonly created?: string
}

/** Stores the machine of a stage under its name: its layers, and what the stage says of it. */
export async function finishBuild(
  stage: PlannedStage,
  { image, name, created }: Finished,
  call: Call,
): Promise<Digest> {
  return await takeIn(paths(), { durable: true }, async (store) => {
    const made = await readArtifact(store, await store.resolve(image, call), call)
    const { reference, container } = baseOf(stage)
    const base = container ? container.digest : (await store.resolve(reference, call)).digest
    const { [BASE_NAME]: _, ...annotations } = made.oci.annotations ?? {}
    const described: Artifact = {
      ...made,
      manifest: manifestOf(made.manifest, stage.settings, parseReference(name).repository),
      oci: {
        ...made.oci,
        annotations: {
          ...annotations,
          ...(container?.name !== undefined && { [BASE_NAME]: container.name }),
          ...stage.settings.Labels,
          ...settingsAnnotation(stage.settings),
        },
      },
    }
    const when = created ?? made.manifest.metadata?.created ?? new Date().toISOString()
    const { descriptor } = await writeFurther(
      store,
      described,
      { added: [], created: when, base: base ?? null },
      call,
    )
    await store.tag(descriptor, name, call)
    return descriptor.digest
  })
}

function manifestOf(manifest: OvmsManifest, settings: MachineSettings, name: string): OvmsManifest {
  const { version: _, network: [network = { mode: "user" as const }] = [], ...others } = manifest
  const runs = settings.Entrypoint !== undefined || settings.Cmd !== undefined
  const offered = Object.keys(settings.ExposedPorts ?? {}).map(portOf)
  const before = network.ports?.filter((port) => !offered.some((one) => same(one, port))) ?? []
  const ports = [...before, ...offered]
  return {
    ...others,
    name,
    ...(runs && { agent: { protocol: "ovms.agent.v1" } }),
    ...((ports.length > 0 || manifest.network) && {
      network: [{ ...network, ...(ports.length > 0 && { ports }) }],
    }),
  }
}

type Port = { readonly guest: number; readonly protocol?: "tcp" | "udp" }

function portOf(text: string): Port {
  const [guest, protocol] = text.split("/")
  return { guest: Number(guest), ...(protocol === "udp" && { protocol }) }
}

function same(a: Port, b: Port): boolean {
  return a.guest === b.guest && (a.protocol ?? "tcp") === (b.protocol ?? "tcp")
}
