import type { Command } from "commander"
import { paths } from "../../../../host/paths.ts"
import { MOST_MACHINES } from "../../../build/machines-kept.ts"
import { isStep } from "../../../build/step-name.ts"
import { useDaemon } from "../../../daemon.ts"
import { formatCount, formatSize, shortDigest, shortId } from "../../../format.ts"
import { interruptible } from "../../../interrupt.ts"
import { print, printJson } from "../../../output.ts"
import { type RoomTaken, roomTaken } from "../../../room.ts"
import { examples } from "../../../terminal/examples.ts"
import { type Column, printTable } from "../../../terminal/table.ts"

interface DfOptions {
  readonly verbose?: boolean
  readonly json?: boolean
}

const COLUMNS: readonly Column[] = [
  { heading: "TYPE" },
  { heading: "COUNT" },
  { heading: "SIZE" },
  { heading: "RECLAIMABLE" },
]
const TYPES = ["images", "snapshots", "unused", "cache", "machines", "volumes"] as const

export function define(command: Command): void {
  command
    .description(
      "Show what takes room on the disk, holes left out and what images share counted once, and what of it `ovm " +
        "prune` and, of volumes, `ovm volume prune` would free. Disks of machines go with `ovm rm` alone.",
    )
    .option("-v, --verbose", "list each image, snapshot, cached file, machine and volume")
    .option("--json", "print JSON, each of them included")
    .action(run)
  examples(command, "ovm system df", "ovm system df --verbose", "ovm system df --json")
}

async function run({ verbose, json }: DfOptions): Promise<void> {
  const taken = await interruptible(async (signal) =>
    roomTaken(paths(), await useDaemon({ signal }), { signal }),
  )
  if (json) return printJson(taken)
  printTable(COLUMNS, [
    ...TYPES.flatMap((type) => {
      const { count, size, reclaimable } = taken[type]
      const row = [type, String(count), formatSize(size), formatSize(reclaimable)]
      return type === "images" || type === "snapshots" ? [row, ...ofBuilds(taken[type], type)] : [row]
    }),
    ["total", "", formatSize(taken.total.size), formatSize(taken.total.reclaimable)],
  ])
  if (verbose) for (const section of sections(taken)) printSection(section)
}

/** What builds have kept among them, which `ovm prune --all` frees: what nobody else has of it. */
function ofBuilds({ items }: RoomTaken["images"], type: "images" | "snapshots"): string[][] {
  const kept = items.filter(({ names }) => names.length > 0 && names.every(isStep))
  if (kept.length === 0) return []
  const most = type === "snapshots" ? ` of ${MOST_MACHINES}` : ""
  return [
    ["  of builds", `${kept.length}${most}`, formatSize(kept.reduce((sum, { own }) => sum + own, 0)), ""],
  ]
}

interface Section {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly string[])[]
}

function printSection({ columns, rows }: Section): void {
  if (rows.length === 0) return
  print("\n")
  printTable(columns, rows)
}

function sections({ images, snapshots, cache, machines, volumes }: RoomTaken): readonly Section[] {
  const artifacts = (heading: string, items: RoomTaken["images"]["items"]): Section => ({
    columns: [
      { heading, least: 16, keep: "end" },
      { heading: "DIGEST", spare: 1 },
      { heading: "SIZE" },
      { heading: "OWN" },
    ],
    rows: items.map(({ names, digest, size, own }) => [
      names.join(", "),
      shortDigest(digest),
      formatSize(size),
      formatSize(own),
    ]),
  })
  return [
    artifacts("IMAGE", images.items),
    artifacts("SNAPSHOT", snapshots.items),
    {
      columns: [{ heading: "CACHED" }, { heading: "DIGEST" }, { heading: "SIZE" }, { heading: "IN USE" }],
      rows: cache.items.map(({ kind, digest, size, in_use }) => [
        kind,
        shortDigest(digest),
        formatSize(size),
        in_use ? "yes" : "",
      ]),
    },
    {
      columns: [
        { heading: "MACHINE", least: 8 },
        { heading: "ID" },
        { heading: "STATE" },
        { heading: "SIZE" },
      ],
      rows: machines.items.map(({ name, instance_id, state, size }) => [
        name,
        shortId(instance_id),
        state,
        formatSize(size),
      ]),
    },
    {
      columns: [{ heading: "VOLUME", least: 8 }, { heading: "SIZE" }, { heading: "USED BY", least: 8 }],
      rows: volumes.items.map(({ name, size, machines }) => [
        name,
        formatSize(size),
        machines.length > 0 ? formatCount(machines.length, "machine") : "",
      ]),
    },
  ]
}
