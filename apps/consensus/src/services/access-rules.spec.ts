import { serviceDefinition } from '@synod/contracts';
import { ACCESS_RULES, type ServedService } from './access-rules';

it('says of every call of every service who may make it', () => {
  for (const [service, rules] of Object.entries(ACCESS_RULES)) {
    expect(Object.keys(rules).sort()).toEqual(Object.keys(serviceDefinition(service as ServedService)).sort());
  }
});

it('leaves open what tells nothing, and only that', () => {
  const open = Object.values(ACCESS_RULES)
    .flatMap((rules) => Object.entries(rules))
    .flatMap(([method, rule]) => (rule === 'open' ? [method] : []));
  expect(open).toEqual(['AuthStatus', 'Authenticate', 'Exchange', 'GetTimestamp']);
});
