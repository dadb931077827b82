package proxy

import (
	"context"
	"time"

	"loom.internal/services/gateway/internal/balance"
	"loom.internal/services/gateway/internal/openai"
)

// plan begins the calls of the request's targets, by their route's rules.
func (x *exchange) plan() *balance.Plan {
	targets := make([]balance.Target, len(x.targets))
	for i, t := range x.targets {
		targets[i] = balance.Target{Key: t.Key, Provider: t.Provider, Model: t.Model, Weight: t.Weight}
	}
	o := x.targets[0].Options
	return x.p.opt.Balancer.Plan(targets, balance.Policy{Balance: o.Balance, Retries: o.Retries, Always: len(targets) == 1})
}

// choose takes the target to be called first.
func (x *exchange) choose(plan *balance.Plan) *openai.Error {
	step, ok := plan.Next()
	if !ok {
		fault := openai.Unavailable("Every provider of this model is failing or refusing requests. Please try again later.")
		fault.RetryAfter = max(step.Wait, time.Second)
		return fault
	}
	x.target = x.targets[step.Target]
	return nil
}

// again chooses the next call after one that failed, and waits until it is time for it.
func (x *exchange) again(ctx context.Context, plan *balance.Plan) bool {
	step, ok := plan.Next()
	if !ok {
		return false
	}
	if step.Wait > 0 {
		begun := time.Now()
		timer := time.NewTimer(step.Wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			x.waited += time.Since(begun)
		case <-ctx.Done():
			return false
		}
	}
	x.target = x.targets[step.Target]
	return true
}
