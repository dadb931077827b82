package traffic

import (
	"math"
	"time"
)

// rhythm is how busy a kind of traffic is at a time, about 1 on average.
type rhythm func(time.Time) float64

// hour of the day, with its fraction.
func hour(t time.Time) float64 { return float64(t.Hour()) + float64(t.Minute())/60 }

// wave is 1 at its peak and 0 half a day off it; the higher the power, the steeper.
func wave(t time.Time, peak, power float64) float64 {
	return math.Pow((1+math.Cos((hour(t)-peak)/24*2*math.Pi))/2, power)
}

func weekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

// shop is of people who buy: in the evening, and more at the weekend.
func shop(t time.Time) float64 {
	busy := .25 + 1.1*wave(t, 19, 1) + .5*wave(t, 11, 3)
	if weekend(t) {
		busy *= 1.25
	}
	return busy
}

// office is of people at work.
func office(t time.Time) float64 {
	busy := .04 + 2.6*wave(t, 13, 3)
	if weekend(t) {
		busy *= .12
	}
	return busy
}

// night is of batches that run from one to four.
func night(t time.Time) float64 {
	if h := t.Hour(); h >= 1 && h < 4 {
		return 7
	}
	return .15
}

// steady is of machines.
func steady(t time.Time) float64 { return 1 + .2*wave(t, 14, 1) }

// lastHour is how much busier the last hour is than it would be, so that short ranges
// have something to show in a month of little traffic.
const lastHour = 4

// busy is how much is to be expected of all apps in a minute, and of each up to and with
// it in parts.
func busy(minute, until time.Time, parts []float64) (total float64) {
	more := 1.0
	if until.Sub(minute) <= time.Hour {
		more = lastHour
	}
	for i, a := range apps {
		total += a.weight * a.rhythm(minute) * more
		parts[i] = total
	}
	return total
}
