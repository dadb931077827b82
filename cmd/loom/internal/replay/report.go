package replay

import (
	"time"
)

// maxReasons is how many different reasons of refusals are kept.
const maxReasons = 5

// Report is the outcome of a run.
type Report struct {
	Options Options   `json:"options"`
	Began   time.Time `json:"began"`
	Floor   uint64    `json:"floor"` // place in the stream up to which the live consumers had settled

	Counts   Counts       `json:"events"`
	Compared []Comparison `json:"compared"`

	Swapped   bool  `json:"swapped"`
	LockedMs  int64 `json:"locked_ms"` // how long writers were kept away at the swap
	Attempts  int   `json:"attempts"`  // at the swap
	TookMs    int64 `json:"took_ms"`   // of this process
	Resumed   bool  `json:"resumed"`
	Rebuilt   bool  `json:"rebuilt"`    // tables were missing and have been made
	CarriedIn int64 `json:"carried_in"` // rows copied from the live tables: out of scope, or no longer in the stream
}

// Counts of the events that were read.
type Counts struct {
	Read       int64    `json:"read"`
	Applied    int64    `json:"applied"`
	OutOfScope int64    `json:"out_of_scope"`
	Dropped    int64    `json:"dropped"` // of days whose traces retention has dropped
	Refused    int64    `json:"refused"`
	Reasons    []string `json:"reasons,omitempty"` // the first few of the refusals
	LostBodies int64    `json:"lost_bodies"`       // events whose large bodies are no longer in the object store: the live ones are kept
}

func (c *Counts) refuse(why string) {
	c.Refused++
	if len(c.Reasons) < maxReasons {
		c.Reasons = append(c.Reasons, why)
	}
}

// Comparison is one table as it was and as it is built anew, in scope, by rows that both
// could have: those from before the run began.
type Comparison struct {
	Table     string `json:"table"`
	Old       int64  `json:"old"`
	New       int64  `json:"new"`
	OnlyOld   int64  `json:"only_old"` // no longer in the stream: carried over
	OnlyNew   int64  `json:"only_new"` // the live table lacks them
	Different int64  `json:"different"`
	OldCost   string `json:"old_cost,omitempty"` // picodollars, of the rows in both
	NewCost   string `json:"new_cost,omitempty"`

	Examples []string `json:"examples,omitempty"` // trace ids of the first that differ or are in one only
}
