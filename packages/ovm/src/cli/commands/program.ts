import type { GroupedEntry } from "../command.ts"

/** What is about the program itself. */
export const PROGRAM_COMMANDS: readonly GroupedEntry[] = [
  {
    name: "policy",
    summary: "Find out what may run here, and why",
    load: () => import("./trust/policy.ts"),
  },
  {
    name: "daemon",
    summary: "Serve the runtime API in the foreground",
    load: () => import("./program/daemon.ts"),
  },
  {
    name: "system",
    summary: "Show what takes room on the disk",
    load: () => import("./program/system.ts"),
  },
  {
    name: "info",
    summary: "Show paths, daemon and virtual machine monitors",
    load: () => import("./program/info.ts"),
  },
  {
    name: "vmm",
    summary: "Show virtual machine monitors, and try them",
    load: () => import("./program/vmm.ts"),
  },
  {
    name: "doctor",
    summary: "Find out what is missing here, and what mends it",
    load: () => import("./program/doctor.ts"),
  },
  {
    name: "install-service",
    summary: "Have systemd keep the daemon",
    load: () => import("./program/install-service.ts"),
  },
  {
    name: "version",
    summary: "Print the version",
    load: () => import("./program/version.ts"),
  },
  {
    name: "completion",
    summary: "Print a completion script for a shell",
    load: () => import("./program/completion.ts"),
  },
  {
    name: "__complete",
    summary: "Print what could come next on a command line",
    hidden: true,
    load: () => import("./program/complete.ts"),
  },
]
