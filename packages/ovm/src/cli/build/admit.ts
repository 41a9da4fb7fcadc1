import type { Call } from "../../content/interfaces.ts"
import { paths } from "../../host/paths.ts"
import { admit, pinned } from "../../images/open.ts"
import { readRoot } from "../../images/root.ts"
import { Policy } from "../../signing/policy/policy.ts"
import { openStore } from "../store.ts"

/**
 * Holds an image of this host against the policy by its own name, as a start of it does: where another name is started
 * in its place. Throws OVM_POLICY_REFUSED, OVM_POLICY_INVALID, OVM_NAME_UNKNOWN, and what reading it can.
 */
export async function admitHere(image: string, call: Call): Promise<void> {
  await using store = await openStore()
  const target = await store.resolve(image, call)
  const root = await readRoot(store, target, call)
  await admit(new Policy(paths().policy), pinned(store, image, { target }), root, call)
}
