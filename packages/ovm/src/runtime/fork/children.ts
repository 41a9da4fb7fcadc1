import type { OpenImage } from "../../images/open.ts"
import { type Admission, accept } from "../admission.ts"
import { firstRequest } from "../again.ts"
import { heldBy } from "../held.ts"
import type { Instance } from "../instance.ts"
import type { ForkRequest, InstanceInfo, StartRequest } from "../interfaces.ts"

/**
 * Takes on the children of a fork, or says which limit or name forbids one: then there is none. Not asynchronous: of
 * two that want the same name one is first.
 */
export function admitChildren(
  admission: Admission,
  source: Instance,
  { count = 1, name }: ForkRequest,
): readonly Instance[] {
  const children: Instance[] = []
  const request = childRequest(source)
  try {
    for (let index = 0; index < count; index++) {
      const called = name === undefined ? {} : { name: `${name}-${index}` }
      const asked = { ...request, overrides: { ...request.overrides, ...called } }
      children.push(accept(admission, crypto.randomUUID(), asked, factsOf(source.info, index)))
    }
    return children
  } catch (thrown) {
    for (const { id } of children) admission.instances.delete(id)
    throw thrown
  }
}

/** What the source was started with, without what is its own: volumes, logins, what it was told at its first boot. */
function childRequest(source: Instance): StartRequest {
  const { manifest, overrides = {} } = firstRequest(source)
  const { name: _, config, ssh, volumes, resume, coldBootOnMismatch, network = {}, ...others } = overrides
  const { mode, outbound, allow } = network
  const kept = {
    ...(mode !== undefined && { mode }),
    ...(outbound !== undefined && { outbound }),
    ...(allow && { allow }),
  }
  return { manifest, overrides: { ...others, ...(Object.keys(kept).length > 0 && { network: kept }) } }
}

function factsOf({ instance_id, image, vmm, resources, disks, agent }: InstanceInfo, index: number) {
  return {
    image,
    ...(vmm && { vmm }),
    resources,
    ...(disks && { disks }),
    ...(agent && { agent: { ready: false } }),
    fork: { source: instance_id, index },
    phase: "preparing",
  } satisfies Partial<InstanceInfo>
}

/** The image and what was written since are the child's as well from here on, whatever becomes of the source. */
export async function holdForChild(opened: OpenImage, child: Instance): Promise<void> {
  await opened.holdFor(child.id, heldBy(new Map([[child.id, child]])).get(child.id) ?? [])
}
