// Command probe hits a point a number of times and says when it has survived.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"loom.internal/pkg/faultpoint"
)

func main() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range n {
				faultpoint.Hit("gateway.begun")
				faultpoint.HitIn(os.Args[2], "committed")
			}
		})
	}
	all.Wait()
	fmt.Println("survived")
}
