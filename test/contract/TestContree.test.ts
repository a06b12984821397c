import * as Contree from "../fixtures/Contree.js"
import { contractWithoutEngine } from "./suite.js"

contractWithoutEngine("TestContree", Contree.double)
