import type { ContainerImage } from "./image.ts"

/** An image with nothing in it, which says nothing of what is to run. */
export const NOTHING: ContainerImage = {
  what: "scratch",
  config: {
    os: "linux",
    architecture: "amd64",
    diffIds: [],
    command: [],
    environment: [],
    directory: "/",
    user: undefined,
    ports: [],
    labels: {},
    said: {},
    created: 0,
  },
  layers: [],
}
