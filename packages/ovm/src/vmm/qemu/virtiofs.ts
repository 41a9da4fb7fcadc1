import type { LaunchPlan } from "../plan.ts"
import { INHERITED_SHARES } from "../process/keeper.ts"
import { slotsOf } from "./check.ts"
import { RAM_ID } from "./model.ts"
import { asJson } from "./options.ts"

/** How many shares of a machine get a second device: all of them, or, where its bus is too full for that, none. */
export function mostServed(plan: LaunchPlan): number {
  const { taken, all } = slotsOf(plan)
  return all - taken
}

/** Who serves a share reads and writes the guest's RAM itself. */
export function sharedMemory(size: number): Record<string, unknown> {
  return { "qom-type": "memory-backend-memfd", id: RAM_ID, size, share: true }
}

/** The part of the command line: of each a device beside that of 9p, with its tag. QEMU inherits the connections. */
export function virtiofsArguments(tags: readonly string[]): string[] {
  return tags.flatMap((tag, index) => [
    ...["-chardev", `socket,id=virtiofs${index},fd=${INHERITED_SHARES + index}`],
    ...asJson("-device", { driver: "vhost-user-fs-pci", chardev: `virtiofs${index}`, tag }),
  ])
}
