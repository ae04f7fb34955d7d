#!/usr/bin/env node
// The short form of the soak; scripts/soak runs the long one.
import '../soak/soak.mjs';
