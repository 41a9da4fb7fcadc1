import type { SharePlan } from "../plan.ts"
import { asJson } from "./options.ts"

/**
 * As the user of this process. For root what a guest says of owners, permissions, devices and links stays in attributes
 * of the files: else it could make programs that run as root on the host, and devices of it. Anybody else could not
 * give a file away, and wants to execute what a guest has built.
 */
function securityModel(readOnly: boolean): string {
  return !readOnly && process.getuid?.() === 0 ? "mapped-xattr" : "none"
}

/** A folder by QEMU's 9p server, which follows no link in it. An option of words: a comma is written twice. */
export function shareArguments({ source, tag, readOnly }: SharePlan, index: number): string[] {
  const id = `share${index}`
  const path = source.replaceAll(",", ",,")
  const how = `security_model=${securityModel(readOnly)},multidevs=remap${readOnly ? ",readonly=on" : ""}`
  return [
    ...["-fsdev", `local,id=${id},path=${path},${how}`],
    ...asJson("-device", { driver: "virtio-9p-pci", fsdev: id, mount_tag: tag }),
  ]
}
