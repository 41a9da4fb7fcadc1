import { programOnPath } from "../../host/program.ts"
import type { SharePlan } from "../plan.ts"

/** Where distributions have it that do not put it on PATH. Not `/usr/lib/qemu`: the older one there keeps less. */
const PLACES = ["/usr/libexec", "/usr/lib"]
const EVERY_ID = 2 ** 32 - 1
/** What only writing needs of a root's power. */
const TO_WRITE = ["chown", "fowner", "fsetid", "setgid", "setuid", "mknod", "setfcap"]

/**
 * The virtiofsd of this host (https://gitlab.com/virtio-fs/virtiofsd) for machines on that accelerator:
 * `OVM_VIRTIOFSD`, or the first one on PATH or where it is kept otherwise; undefined if there is none. Only the first
 * for machines that are emulated (OVMS-SHR-039).
 */
export function findVirtiofsd(
  accelerator: string,
  env: Record<string, string | undefined> = process.env,
): string | undefined {
  const emulated = accelerator === "tcg"
  return env.OVM_VIRTIOFSD || (emulated ? undefined : programOnPath("virtiofsd", env, PLACES))
}

/**
 * Whether it keeps what a share promises (OVMS-SHR-012): what a guest of root's daemon makes would be root's on the
 * host, set-user-ID bits and devices included.
 */
export function canServe({ readOnly }: Pick<SharePlan, "readOnly">, uid = process.getuid?.()): boolean {
  return readOnly || uid !== 0
}

/** `connection` is a descriptor that it has: a socket that listens. */
export function virtiofsdArguments(
  { source, readOnly }: Pick<SharePlan, "source" | "readOnly">,
  connection: number,
  user: { readonly uid: number; readonly gid: number },
): string[] {
  return [
    ...["--fd", String(connection), "--shared-dir", source, "--sandbox", "namespace"],
    ...["--cache", "auto", "--log-level", "info"],
    ...(readOnly ? ["--readonly"] : []),
    ...(user.uid === 0
      ? [`--modcaps=${TO_WRITE.map((name) => `-${name}`).join(":")}`]
      : [...oneUser("uid", user.uid), ...oneUser("gid", user.gid)]),
  ]
}

/** It is root of a user namespace that has nobody else, acts as that one whoever asks, and tells its number outside. */
function oneUser(kind: "uid" | "gid", id: number): string[] {
  return [
    ...[`--${kind}-map`, `:0:${id}:1:`],
    ...[`--translate-${kind}`, `squash-guest:0:0:${EVERY_ID}`],
    ...[`--translate-${kind}`, `host:0:${id}:1`],
  ]
}
