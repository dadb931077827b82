package store

import (
	"slices"
	"strconv"
)

// multirange is a set of numbers as Postgres writes an int8multirange: neighbours are
// one range. It sorts numbers.
func multirange(numbers []int64) string {
	slices.Sort(numbers)
	text := []byte{'{'}
	for i := 0; i < len(numbers); {
		from, to := numbers[i], numbers[i]
		for i++; i < len(numbers) && numbers[i] <= to+1; i++ {
			to = numbers[i]
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(text, '[')
		text = strconv.AppendInt(text, from, 10)
		text = append(text, ',')
		text = strconv.AppendInt(text, to, 10)
		text = append(text, ']')
	}
	return string(append(text, '}'))
}
