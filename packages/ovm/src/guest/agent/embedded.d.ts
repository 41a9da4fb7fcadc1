/** Paths, in the compiled program too (scripts/static.sh makes the first one). */
declare module "*/agent/dist/ovm-agent" {
  const path: string
  export default path
}
declare module "*/agent/ovm-agent.openrc" {
  const path: string
  export default path
}
declare module "*/agent/ovm-agent.service" {
  const path: string
  export default path
}
declare module "*/agent/install.sh" {
  const path: string
  export default path
}
