package speed

import "time"

// CPU is for how long processors were at work for this process; where the system does not tell, for how long the clock went.
func CPU() time.Duration { return cpuTime() }
