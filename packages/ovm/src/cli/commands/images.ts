import type { GroupedEntry } from "../command.ts"

/** What makes, moves and shows images. */
export const IMAGE_COMMANDS: readonly GroupedEntry[] = [
  {
    name: "pack",
    summary: "Make an image of a kernel, an initrd and disk layers",
    load: () => import("./images/pack.ts"),
  },
  {
    name: "build",
    summary: "Make an image of a Dockerfile, step by step in machines",
    load: () => import("./images/build.ts"),
  },
  {
    name: "push",
    summary: "Copy an image to its registry",
    load: () => import("./images/push.ts"),
  },
  {
    name: "pull",
    summary: "Copy an image from its registry",
    load: () => import("./images/pull.ts"),
  },
  {
    name: "copy",
    summary: "Copy an artifact between registries, this host, layouts and archives",
    load: () => import("./images/copy.ts"),
  },
  {
    name: "save",
    summary: "Write images into one file",
    load: () => import("./images/save.ts"),
  },
  {
    name: "load",
    summary: "Take images out of such a file",
    load: () => import("./images/load.ts"),
  },
  {
    name: "import",
    summary: "Make an image of a disk as other programs have it",
    load: () => import("./images/import.ts"),
  },
  {
    name: "export",
    summary: "Write the disk of an image as other programs have it",
    load: () => import("./images/export.ts"),
  },
  {
    name: "tag",
    summary: "Give an image one more name",
    load: () => import("./images/tag.ts"),
  },
  {
    name: "index",
    summary: "Make one name for images of several platforms, and show what it stands for",
    load: () => import("./images/index.ts"),
  },
  {
    name: "images",
    summary: "List the images on this host",
    load: () => import("./images/images.ts"),
  },
  {
    name: "rmi",
    summary: "Remove image names, and what nobody uses any more",
    load: () => import("./images/rmi.ts"),
  },
  {
    name: "prune",
    summary: "Free what nobody uses",
    load: () => import("./images/prune.ts"),
  },
  {
    name: "inspect",
    summary: "Show what an image consists of",
    load: () => import("./images/inspect.ts"),
  },
  {
    name: "diff",
    summary: "Show what differs between two images, and what has to be moved",
    load: () => import("./images/diff.ts"),
  },
  {
    name: "validate",
    summary: "Report every fault of an image, manifest or pack source",
    load: () => import("./images/validate.ts"),
  },
  {
    name: "discover",
    summary: "Show what is attached to an image: signatures, SBOMs, snapshots",
    load: () => import("./images/discover.ts"),
  },
  {
    name: "sbom",
    summary: "Write down what a machine consists of, as CycloneDX or SPDX",
    load: () => import("./images/sbom.ts"),
  },
  {
    name: "login",
    summary: "Keep credentials for a registry",
    load: () => import("./images/login.ts"),
  },
  {
    name: "logout",
    summary: "Forget the credentials for a registry",
    load: () => import("./images/logout.ts"),
  },
  {
    name: "registry",
    summary: "Serve a registry, or find out what one can do",
    load: () => import("./images/registry.ts"),
  },
]
