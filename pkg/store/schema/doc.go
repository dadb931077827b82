// Package schema tests what the migrations promise and no table can say by itself: who
// may do what, which rows a tenant sees, and that partitions appear. It holds no code.
package schema
