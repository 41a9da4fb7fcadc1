import type { CommandEntry } from "./command.ts"

const IMAGES = "Images:"
const TRUST = "Trust:"
const INSTANCES = "Instances:"
const PROGRAM = "Program:"

/** Every command, in the order of the help. A command's module is loaded only when it is the one that was asked for. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "pack",
    summary: "Make an image of a kernel, an initrd and disk layers",
    group: IMAGES,
    load: () => import("./commands/images/pack.ts"),
  },
  {
    name: "push",
    summary: "Copy an image to its registry",
    group: IMAGES,
    load: () => import("./commands/images/push.ts"),
  },
  {
    name: "pull",
    summary: "Copy an image from its registry",
    group: IMAGES,
    load: () => import("./commands/images/pull.ts"),
  },
  {
    name: "copy",
    summary: "Copy an artifact between registries, this host, layouts and archives",
    group: IMAGES,
    load: () => import("./commands/images/copy.ts"),
  },
  {
    name: "save",
    summary: "Write images into one file",
    group: IMAGES,
    load: () => import("./commands/images/save.ts"),
  },
  {
    name: "load",
    summary: "Take images out of such a file",
    group: IMAGES,
    load: () => import("./commands/images/load.ts"),
  },
  {
    name: "tag",
    summary: "Give an image one more name",
    group: IMAGES,
    load: () => import("./commands/images/tag.ts"),
  },
  {
    name: "images",
    summary: "List the images on this host",
    group: IMAGES,
    load: () => import("./commands/images/images.ts"),
  },
  {
    name: "rmi",
    summary: "Remove image names, and what nobody uses any more",
    group: IMAGES,
    load: () => import("./commands/images/rmi.ts"),
  },
  {
    name: "prune",
    summary: "Free what nobody uses",
    group: IMAGES,
    load: () => import("./commands/images/prune.ts"),
  },
  {
    name: "inspect",
    summary: "Show what an image consists of",
    group: IMAGES,
    load: () => import("./commands/images/inspect.ts"),
  },
  {
    name: "validate",
    summary: "Report every fault of an image, manifest or pack source",
    group: IMAGES,
    load: () => import("./commands/images/validate.ts"),
  },
  {
    name: "discover",
    summary: "Show what is attached to an image: signatures, SBOMs, snapshots",
    group: IMAGES,
    load: () => import("./commands/images/discover.ts"),
  },
  {
    name: "sbom",
    summary: "Write down what a machine consists of, as CycloneDX or SPDX",
    group: IMAGES,
    load: () => import("./commands/images/sbom.ts"),
  },
  {
    name: "login",
    summary: "Keep credentials for a registry",
    group: IMAGES,
    load: () => import("./commands/images/login.ts"),
  },
  {
    name: "logout",
    summary: "Forget the credentials for a registry",
    group: IMAGES,
    load: () => import("./commands/images/logout.ts"),
  },
  {
    name: "registry",
    summary: "Serve a registry, or find out what one can do",
    group: IMAGES,
    load: () => import("./commands/images/registry.ts"),
  },
  {
    name: "sign",
    summary: "Sign an image",
    group: TRUST,
    load: () => import("./commands/trust/sign.ts"),
  },
  {
    name: "verify",
    summary: "Verify that an image is signed or attested",
    group: TRUST,
    load: () => import("./commands/trust/verify.ts"),
  },
  {
    name: "attest",
    summary: "Say something about an image over a signature",
    group: TRUST,
    load: () => import("./commands/trust/attest.ts"),
  },
  {
    name: "key",
    summary: "Make keys that sign, and show them",
    group: TRUST,
    load: () => import("./commands/trust/key.ts"),
  },
  {
    name: "run",
    summary: "Pull what is missing, start a machine and show its console",
    group: INSTANCES,
    load: () => import("./commands/machines/run.ts"),
  },
  {
    name: "start",
    summary: "Start machines again with their disks, or one from an image here",
    group: INSTANCES,
    load: () => import("./commands/machines/start.ts"),
  },
  {
    name: "stop",
    summary: "Stop machines",
    group: INSTANCES,
    load: () => import("./commands/machines/stop.ts"),
  },
  {
    name: "restart",
    summary: "Stop machines and start them again",
    group: INSTANCES,
    load: () => import("./commands/machines/restart.ts"),
  },
  {
    name: "pause",
    summary: "Have guests stand still",
    group: INSTANCES,
    load: () => import("./commands/machines/pause.ts"),
  },
  {
    name: "resume",
    summary: "Have guests go on that stand still",
    group: INSTANCES,
    load: () => import("./commands/machines/resume.ts"),
  },
  { name: "ps", summary: "List machines", group: INSTANCES, load: () => import("./commands/machines/ps.ts") },
  {
    name: "status",
    summary: "Show one machine in full",
    group: INSTANCES,
    load: () => import("./commands/machines/status.ts"),
  },
  {
    name: "events",
    summary: "Print what happens to machines",
    group: INSTANCES,
    load: () => import("./commands/machines/events.ts"),
  },
  {
    name: "stats",
    summary: "Show what machines take of this host",
    group: INSTANCES,
    load: () => import("./commands/machines/stats.ts"),
  },
  {
    name: "logs",
    summary: "Print a machine's console",
    group: INSTANCES,
    load: () => import("./commands/machines/logs.ts"),
  },
  {
    name: "snapshot",
    summary: "Keep a running machine as an image to go on from",
    group: INSTANCES,
    load: () => import("./commands/machines/snapshot.ts"),
  },
  {
    name: "warm",
    summary: "Keep machines of a snapshot loaded, one command away from running",
    group: INSTANCES,
    load: () => import("./commands/machines/warm.ts"),
  },
  {
    name: "rm",
    summary: "Forget machines that have ended",
    group: INSTANCES,
    load: () => import("./commands/machines/rm.ts"),
  },
  {
    name: "policy",
    summary: "Find out what may run here, and why",
    group: PROGRAM,
    load: () => import("./commands/trust/policy.ts"),
  },
  {
    name: "daemon",
    summary: "Serve the runtime API in the foreground",
    group: PROGRAM,
    load: () => import("./commands/program/daemon.ts"),
  },
  {
    name: "info",
    summary: "Show paths, daemon and virtual machine monitors",
    group: PROGRAM,
    load: () => import("./commands/program/info.ts"),
  },
  {
    name: "doctor",
    summary: "Find out what is missing here, and what mends it",
    group: PROGRAM,
    load: () => import("./commands/program/doctor.ts"),
  },
  {
    name: "version",
    summary: "Print the version",
    group: PROGRAM,
    load: () => import("./commands/program/version.ts"),
  },
  {
    name: "completion",
    summary: "Print a completion script for a shell",
    group: PROGRAM,
    load: () => import("./commands/program/completion.ts"),
  },
  {
    name: "__complete",
    summary: "Print what could come next on a command line",
    group: PROGRAM,
    hidden: true,
    load: () => import("./commands/program/complete.ts"),
  },
]
