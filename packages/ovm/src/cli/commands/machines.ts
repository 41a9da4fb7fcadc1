import type { GroupedEntry } from "../command.ts"

/** What makes machines run, and reaches into them. */
export const MACHINE_COMMANDS: readonly GroupedEntry[] = [
  {
    name: "run",
    summary: "Pull what is missing, start a machine and show its console",
    load: () => import("./machines/run.ts"),
  },
  {
    name: "create",
    summary: "Make a machine without starting it",
    load: () => import("./machines/create.ts"),
  },
  {
    name: "start",
    summary: "Start machines again with their disks, or one from an image here",
    load: () => import("./machines/start.ts"),
  },
  {
    name: "stop",
    summary: "Stop machines",
    load: () => import("./machines/stop.ts"),
  },
  {
    name: "restart",
    summary: "Stop machines and start them again",
    load: () => import("./machines/restart.ts"),
  },
  {
    name: "pause",
    summary: "Have guests stand still",
    load: () => import("./machines/pause.ts"),
  },
  {
    name: "resume",
    summary: "Have guests go on that stand still",
    load: () => import("./machines/resume.ts"),
  },
  {
    name: "wait",
    summary: "Wait until machines have ended",
    load: () => import("./machines/wait.ts"),
  },
  {
    name: "rename",
    summary: "Give a machine another name",
    load: () => import("./machines/rename.ts"),
  },
  {
    name: "ps",
    summary: "List machines",
    load: () => import("./machines/ps.ts"),
  },
  {
    name: "status",
    summary: "Show one machine in full",
    load: () => import("./machines/status.ts"),
  },
  {
    name: "events",
    summary: "Print what happens to machines",
    load: () => import("./machines/events.ts"),
  },
  {
    name: "stats",
    summary: "Show what machines take of this host",
    load: () => import("./machines/stats.ts"),
  },
  {
    name: "top",
    summary: "Watch what machines take of this host",
    load: () => import("./machines/top.ts"),
  },
  {
    name: "attach",
    summary: "Join the terminal and a machine's console",
    load: () => import("./machines/attach.ts"),
  },
  {
    name: "ssh",
    summary: "Log in to a machine by SSH, or run a command in it",
    load: () => import("./machines/ssh.ts"),
  },
  {
    name: "exec",
    summary: "Run a command inside a machine",
    load: () => import("./machines/exec.ts"),
  },
  {
    name: "shell",
    summary: "Open a shell inside a machine",
    load: () => import("./machines/shell.ts"),
  },
  {
    name: "cp",
    summary: "Copy files into a machine, or out of one",
    load: () => import("./machines/cp.ts"),
  },
  {
    name: "port",
    summary: "List, add and remove ports of this host that lead to machines",
    load: () => import("./machines/port.ts"),
  },
  {
    name: "logs",
    summary: "Print a machine's console",
    load: () => import("./machines/logs.ts"),
  },
  {
    name: "snapshot",
    summary: "Keep a running machine as an image to go on from",
    load: () => import("./machines/snapshot.ts"),
  },
  {
    name: "fork",
    summary: "Make further machines of a running one, as it is now",
    load: () => import("./machines/fork.ts"),
  },
  {
    name: "commit",
    summary: "Make an image of what a machine has on its disk",
    load: () => import("./machines/commit.ts"),
  },
  {
    name: "warm",
    summary: "Keep machines of a snapshot loaded, one command away from running",
    load: () => import("./machines/warm.ts"),
  },
  {
    name: "sandbox",
    summary: "Run commands in machines of their own, which are gone with them",
    load: () => import("./machines/sandbox.ts"),
  },
  {
    name: "volume",
    summary: "Make, list and delete disks that outlive machines",
    load: () => import("./machines/volume.ts"),
  },
  {
    name: "network",
    summary: "Make, list and delete networks that machines share",
    load: () => import("./machines/network.ts"),
  },
  {
    name: "rm",
    summary: "Forget machines that have ended",
    load: () => import("./machines/rm.ts"),
  },
  {
    name: "up",
    summary: "Start the machines of a file",
    load: () => import("./machines/up.ts"),
  },
  {
    name: "down",
    summary: "Stop and remove them",
    load: () => import("./machines/down.ts"),
  },
  {
    name: "compose",
    summary: "List them, and print their consoles",
    load: () => import("./machines/compose.ts"),
  },
]
