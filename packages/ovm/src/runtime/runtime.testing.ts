import { join } from "node:path"
import { type Images, type ImagesOptions, openImages } from "../images/images.ts"
import { Policy } from "../signing/policy/policy.ts"
import { availableVmms } from "../vmm/available.ts"
import { LocalRuntime } from "./local.ts"
import type { LocalRuntimeOptions } from "./options.ts"

/** The store, the cache and the policy below `root`. */
export function imagesBelow(root: string, options?: ImagesOptions): Promise<Images> {
  const policy = new Policy(join(root, "policy.json"))
  return openImages(join(root, "store"), join(root, "derived"), policy, options)
}

/** A runtime with all that it has below `root`, on the VMMs of this host; but for `other`. */
export async function openRuntime(
  root: string,
  other: Partial<LocalRuntimeOptions> = {},
): Promise<LocalRuntime> {
  return await LocalRuntime.open({
    version: "test",
    root,
    instances: join(root, "instances"),
    images: other.images ?? (await imagesBelow(root)),
    vmms: availableVmms(join(root, "cache")),
    ...other,
  })
}
