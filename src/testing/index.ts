/**
 * ConTree in memory, for tests of programs.
 *
 * @since 0.1.0
 */
export * as CommandHandler from "./CommandHandler.js"
export * as FaultPlan from "./FaultPlan.js"
export * as FileTree from "./FileTree.js"
export * as TestContree from "./TestContree.js"
