import * as Contree from "../fixtures/Contree.js"
import { contractOfCallers } from "./suite.js"

contractOfCallers("effect-contree serve over HTTP", Contree.served)
