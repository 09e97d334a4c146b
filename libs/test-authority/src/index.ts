export { TestAuthority, type IssuedFiles } from './test-authority';
