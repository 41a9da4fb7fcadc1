import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"

const SYSTEMD = "/usr/lib/systemd/systemd"

/**
 * Another host on top of this one's files: whatever is written there is gone with it, and nothing of it is seen here.
 * `$1` is a folder for it, what follows are folders of this host that are there too.
 */
const HOST = `
set -e
mount --make-rprivate /
place=$1; shift
mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
for folder in "$@"; do
  mkdir -p "$place/root$folder"
  mount --bind "$folder" "$place/root$folder"
done
cd "$place/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount --bind /dev dev
mount -t tmpfs tmpfs sys
mkdir -p sys/fs/cgroup
mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd,xattr cgroup sys/fs/cgroup/systemd
# Nothing but what is tried is done there.
for unit in tmpfiles-setup tmpfiles-setup-dev tmpfiles-clean udevd journal-flush random-seed
do ln -s /dev/null "etc/systemd/system/systemd-$unit.service"
done
mkdir -p before
pivot_root . before
umount -l /before
exec env -i PATH="$PATH" container=other ${SYSTEMD} --system --unit=basic.target --log-target=null --show-status=no
`

/** Why there can be no such host here; empty if there can. */
export function systemdMissing(): string {
  if (process.getuid?.() !== 0) return "(skipped: only root can make a host for systemd)"
  if (spawnSync(SYSTEMD, ["--version"]).status !== 0) return "(skipped: systemd is not installed)"
  const tried = spawnSync("unshare", ["--mount", "--pid", "--fork", "sh", "-ec", TRIAL, "sh", tmpdir()], {
    encoding: "utf8",
  })
  return tried.status === 0 ? "" : `(skipped: no host for systemd can be made here: ${tried.stderr.trim()})`
}

const TRIAL = `
mount --make-rprivate /
place=$(mktemp -d -p "$1")
trap 'rmdir "$place"' EXIT
mount -t tmpfs tmpfs "$place"
mkdir "$place/u" "$place/w" "$place/r" "$place/c"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/u,workdir=$place/w" "$place/r"
mount -t cgroup -o none,name=systemd,xattr cgroup "$place/c"
umount "$place/c" "$place/r" "$place"
`

/** A host of its own, where a real systemd is process 1. */
export class SystemdHost implements AsyncDisposable {
  private constructor(
    private readonly init: ChildProcess,
    private readonly place: string,
  ) {}

  /** `folders` of this host are there as well. */
  static async boot(folders: readonly string[]): Promise<SystemdHost> {
    const place = await mkdtemp(join(tmpdir(), "ovm-systemd-"))
    const unshared = ["--fork", "--pid", "--mount", "--uts", "--ipc", "--kill-child"]
    const init = spawn("unshare", [...unshared, "bash", "-c", HOST, "bash", place, ...folders], {
      stdio: "ignore",
    })
    const host = new SystemdHost(init, place)
    await until("systemd has started", () => host.run("systemctl is-active basic.target"), {
      is: ({ stdout }) => stdout === "active",
    })
    return host
  }

  /** Runs a script there. */
  run(script: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    const inside = spawnSync("pgrep", ["-P", `${this.init.pid}`], { encoding: "utf8" }).stdout.trim()
    const args = ["-t", inside, "-m", "-p", "-u", "-i", "--", "bash", "-c", script]
    const { status, stdout, stderr } = spawnSync("nsenter", args, {
      encoding: "utf8",
      env: { PATH: process.env.PATH },
    })
    return { status, stdout: (stdout ?? "").trim(), stderr: (stderr ?? "").trim() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const over = new Promise((resolve) => this.init.once("close", resolve))
    this.init.kill("SIGKILL")
    await over
    await rm(this.place, { recursive: true, force: true })
  }
}
