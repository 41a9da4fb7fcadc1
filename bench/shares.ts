// One folder of the host in one guest, by virtiofs and by 9p in turns: a large file written and read, and many
// small ones. `make bench-shares`; BENCH="64 1000 3" is its MiB, how many, and rounds.
import { chownSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findPeer } from "@ovms/testkit/registry.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { MACHINE, OVM, output, untilSaid, withHome } from "./programs.ts"
import { median } from "./turns.ts"

const [, , mib = "64", files = "1000", rounds = "3"] = process.argv
const NOBODY = 65534
/** A daemon of root has virtiofs for what is read alone. */
const isRoot = process.getuid?.() === 0
const AS = isRoot ? ["setpriv", "--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"] : []
const FILES = Number(files)
/** As the agent mounts it (packages/agent/src/mount.c). */
const NINEP = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=mmap ovm.0 /mnt"

/** What is done in the folder, by the guest's shell: what it needs to start programs is no share's. */
const WORKS: Readonly<Record<string, string>> = {
  [`${mib} MiB written`]: `dd if=/dev/zero of=large bs=256k count=$((${mib} * 4)) conv=fsync 2>/dev/null`,
  [`${mib} MiB read`]: "dd if=large of=/dev/null bs=256k 2>/dev/null",
  [`${FILES} files made`]: `mkdir small; i=0; while [ $i -lt ${FILES} ]; do echo $i >small/$i; i=$((i + 1)); done`,
  [`${FILES} files looked at`]: "ls -l small >/dev/null",
  [`${FILES} files read`]: "cat small/* >/dev/null",
  [`${FILES} files removed`]: "rm -r small",
}

/** Hundredths of a second, as the guest's kernel counts them, of each work. */
const script = (folder: string) =>
  `cd ${folder}; now() { read -r up _ </proc/uptime; echo "\${up%.*}\${up#*.}"; }; ${Object.values(WORKS)
    .map((work) => `echo 3 >/proc/sys/vm/drop_caches; from=$(now); ${work}; echo $(($(now) - from))`)
    .join("; ")}`

const virtiofsd = findPeer("virtiofsd")
if (!virtiofsd) throw new Error("virtiofsd is neither in the peers' cache nor on PATH (make peers)")
const shared = mkdtempSync(join(tmpdir(), "ovm-bench-shared-"))
process.once("exit", () => rmSync(shared, { recursive: true, force: true }))
await withHome(async (env, home) => {
  if (isRoot) for (const folder of [home, shared]) chownSync(folder, NOBODY, NOBODY)
  const mine = { ...env, OVM_VIRTIOFSD: virtiofsd }
  output([...AS, OVM, "pack", "-f", join(MACHINE, "unpacked.json"), "-t", "bench:1"], mine)
  output([...AS, OVM, "daemon", "--detach"], mine)
  const runtime = connect(join(home, "ovm.sock"))
  const { instance_id: id } = await runtime.start({
    manifest: "bench:1",
    overrides: { agent: true, network: { mode: "none" }, shares: [{ source: shared, target: "/share" }] },
  })
  await untilSaid(await runtime.logs(id, { follow: true }), "OVM-DISK")
  await runtime.ready(id, { timeoutMs: 300_000 })
  await runtime.exec(id, { command: ["sh", "-c", NINEP] })
  const { shares } = await runtime.status(id)
  if (shares?.[0]?.type !== "virtiofs") throw new Error("the guest has no virtiofs")
  const took = new Map(Object.keys(WORKS).map((name) => [name, [[], []] as [number[], number[]]]))
  for (let round = 0; round < Number(rounds); round++)
    for (const [way, folder] of ["/share", "/mnt"].entries()) {
      const command = ["sh", "-c", script(folder)]
      const { stdout } = await runtime.exec(id, { command, timeout_ms: 600_000 })
      const times = stdout.trim().split("\n").map(Number)
      for (const [nth, ways] of [...took.values()].entries()) ways[way]?.push((times[nth] ?? Number.NaN) * 10)
      console.error(`round ${round + 1}, ${folder === "/mnt" ? "9p" : "virtiofs"}: ${times.join(" ")}`)
    }
  for (const [name, [virtiofs, ninep]] of took) {
    const [ours, theirs] = [median(virtiofs), median(ninep)]
    console.log(
      `${name}: virtiofs ${ours.toFixed(0)} ms, 9p ${theirs.toFixed(0)} ms, ratio ${(ours / theirs).toFixed(2)}`,
    )
  }
})
